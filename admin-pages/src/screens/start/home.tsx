import { useEffect } from "preact/hooks";
import { useLocation } from "preact-iso";
import { listAccounts } from "../../api/accounts.ts";
import { shellWords } from "../../i18n/shell.ts";
import { BASE } from "../../screens.ts";
import { Page } from "../../ui/page.tsx";
import { FailureNotice, Loading } from "../../ui/states.tsx";
import { useResource } from "../../ui/use-resource.ts";

/** Where the panel begins: the first steps of an empty relay, else what there is to look after. */
export default function Home() {
  const { route } = useLocation();
  const { value, failure, reload } = useResource(listAccounts, []);
  useEffect(() => {
    if (value !== null) route(BASE + (value.accounts.length === 0 ? "/start" : "/accounts"), true);
  }, [value, route]);
  return (
    <Page title={shellWords().brand}>
      {failure === null ? (
        <Loading lines={6} />
      ) : (
        <FailureNotice failure={failure} onRetry={() => void reload()} />
      )}
    </Page>
  );
}
