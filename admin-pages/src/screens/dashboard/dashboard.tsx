import { useEffect } from "preact/hooks";
import { useLocation } from "preact-iso";
import { listAccounts } from "../../api/accounts.ts";
import { readDashboard, readModels } from "../../api/dashboard.ts";
import { timeZones } from "../../format/time-zones.ts";
import { timeZone, wholeTime } from "../../format/times.ts";
import { dashboardWords } from "../../i18n/dashboard.ts";
import { BASE } from "../../screens.ts";
import { Select } from "../../ui/fields.tsx";
import { Page } from "../../ui/page.tsx";
import { FailureNotice, Loading } from "../../ui/states.tsx";
import { useResource } from "../../ui/use-resource.ts";
import { Attention } from "./attention.tsx";
import { TodayInFigures } from "./figures.tsx";
import { AccountsAtAGlance } from "./glance.tsx";
import { Usage, useUsageScope } from "./usage.tsx";
import { queryOf } from "./usage-scope.ts";

const REFRESH_MS = 15_000;
const MODELS_REFRESH_MS = 60_000;

/**
 * How the relay is doing: what needs a person, the day so far, accounts, and what was used. Where there
 * is nothing yet, the first steps come in its place.
 */
export default function Dashboard() {
  const t = dashboardWords();
  const { route } = useLocation();
  const zone = timeZone.value;
  const [scope, setScope] = useUsageScope();
  const dashboard = useResource((signal) => readDashboard(zone, signal), [zone], REFRESH_MS);
  const accounts = useResource(listAccounts, [], REFRESH_MS);
  const models = useResource(
    (signal) => readModels(queryOf(scope), signal),
    [scope, zone],
    MODELS_REFRESH_MS,
  );
  const isEmpty = accounts.value?.accounts.length === 0;
  useEffect(() => {
    if (isEmpty) route(`${BASE}/start`, true);
  }, [isEmpty, route]);
  return (
    <Page
      title={t.title}
      lead={dashboard.value === null ? undefined : t.lead(wholeTime(dashboard.value.timestamp))}
      actions={
        <Select
          aria-label={t.timeZone}
          value={zone}
          options={timeZones().map((value) => ({ value, label: value.replaceAll("_", " ") }))}
          onValue={(value) => {
            timeZone.value = value;
          }}
        />
      }
    >
      <Attention
        dashboard={dashboard.value}
        accounts={accounts.value?.accounts ?? null}
        models={models.value?.models ?? null}
      />
      {dashboard.failure !== null && (
        <FailureNotice failure={dashboard.failure} onRetry={() => void dashboard.reload()} />
      )}
      {dashboard.value === null ? (
        dashboard.failure === null && <Loading />
      ) : (
        <TodayInFigures dashboard={dashboard.value} />
      )}
      <AccountsAtAGlance accounts={accounts} />
      <Usage scope={scope} onScope={setScope} models={models} />
    </Page>
  );
}
