import { commonWords } from "../i18n/common.ts";
import { BASE } from "../screens.ts";
import { LinkButton } from "../ui/button.tsx";
import { Page } from "../ui/page.tsx";
import { Empty } from "../ui/states.tsx";

export function NotFound() {
  const t = commonWords();
  return (
    <Page title={t.notFoundTitle}>
      <Empty icon="search" title={t.notFoundTitle}>
        <p>{t.notFoundText}</p>
        <LinkButton href={`${BASE}/`}>{t.toStart}</LinkButton>
      </Empty>
    </Page>
  );
}
