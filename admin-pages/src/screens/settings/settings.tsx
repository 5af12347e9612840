import { readDashboard } from "../../api/dashboard.ts";
import { readPrices } from "../../api/prices.ts";
import { settingsWords } from "../../i18n/settings.ts";
import { Page } from "../../ui/page.tsx";
import { useResource } from "../../ui/use-resource.ts";
import { About } from "./about.tsx";
import { Alerts } from "./alerts.tsx";
import { EncryptionKey } from "./encryption-key.tsx";
import { ForwardProxies } from "./forward-proxies.tsx";
import { BuiltInPrices, OwnPrices } from "./prices.tsx";
import { SessionCard } from "./session-card.tsx";
import { Storage } from "./storage.tsx";

/** What concerns the relay as a whole. */
export default function Settings() {
  const dashboard = useResource((signal) => readDashboard("UTC", signal), []);
  const prices = useResource(readPrices, []);
  return (
    <Page title={settingsWords().title}>
      <OwnPrices prices={prices} />
      <BuiltInPrices prices={prices} />
      <Alerts />
      <ForwardProxies />
      <div class="grid pairs">
        <Storage dashboard={dashboard} />
        <EncryptionKey />
        <SessionCard />
        <About version={dashboard.value?.systemHealth.version ?? null} />
      </div>
    </Page>
  );
}
