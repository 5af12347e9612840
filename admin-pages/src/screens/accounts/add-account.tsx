import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { type Account, createAccount, type FinishedLogin } from "../../api/accounts.ts";
import type { Failure } from "../../api/client.ts";
import { accountsWords } from "../../i18n/accounts.ts";
import { BASE } from "../../screens.ts";
import { Button } from "../../ui/button.tsx";
import { Choice, SelectField } from "../../ui/fields.tsx";
import { Card, Page } from "../../ui/page.tsx";
import { FailureNotice, Notice } from "../../ui/states.tsx";
import { say } from "../../ui/toasts.tsx";
import { credentialFrom, type SecretWay } from "./credential.ts";
import { OAuthSteps } from "./oauth-steps.tsx";
import { isProxyGood, proxyDraftOf, proxyOf } from "./proxy-draft.ts";
import { ProxyFields } from "./proxy-fields.tsx";
import { SecretField } from "./secret-field.tsx";
import { accountSettingsOf, settingsDraftOf, settingsMistakes } from "./settings-draft.ts";
import { NameFields, WorkFields } from "./settings-fields.tsx";

const WAYS = ["apiKey", "oauth", "setupToken", "pasted"] as const;
type Way = SecretWay | "oauth";

/** A screen of its own: adding an account over a login takes a while. */
export default function AddAccountScreen() {
  const t = accountsWords();
  const { route } = useLocation();
  return (
    <Page title={t.addTitle} back={{ href: `${BASE}/accounts`, label: t.backToAccounts }}>
      <AddAccount onAdded={({ id }) => route(`${BASE}/accounts/${id}`)} />
    </Page>
  );
}

/** Takes a credential of any kind, and makes an account of it. */
export function AddAccount({ onAdded }: { onAdded: (account: Account) => void }) {
  const t = accountsWords();
  const [way, setWay] = useState<Way>("apiKey");
  const [secret, setSecret] = useState("");
  const [login, setLogin] = useState<FinishedLogin | null>(null);
  const [settings, setSettings] = useState(() => settingsDraftOf(null));
  const [proxy, setProxy] = useState(() => proxyDraftOf(null));
  const [region, setRegion] = useState("");
  const [isTried, setTried] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);

  const mistakes = settingsMistakes(settings);
  const shown = isTried ? mistakes : {};
  const { name: _, ...below } = shown;
  const hasMistakeBelow = Object.keys(below).length > 0;
  const isProxyOk = isProxyGood(proxy);
  const isLoggingIn = way === "oauth" && login === null;

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    setTried(true);
    const credential =
      way === "oauth" ? login && { sessionId: login.sessionId } : credentialFrom(way, secret);
    if (credential === null || Object.keys(mistakes).length > 0) return;
    if (way !== "oauth" && !isProxyOk) return;
    setBusy(true);
    setFailure(null);
    const made = await createAccount({
      ...accountSettingsOf(settings),
      ...credential,
      ...(way === "oauth" ? {} : { proxy: proxyOf(proxy), locationHint: region || null }),
    });
    setBusy(false);
    if (!made.ok) return setFailure(made.error);
    say(t.created(made.value.name));
    onAdded(made.value);
  };
  return (
    <div class="stack">
      <Card>
        <div class="form">
          <div class="stack">
            <Choice
              label={t.how}
              value={way}
              options={WAYS.map((value) => ({ value, label: t.ways[value] }))}
              onValue={(next) => {
                setWay(next);
                setSecret("");
                setTried(false);
                setFailure(null);
              }}
            />
            <p class="hint">{t.wayHelp[way]}</p>
          </div>
          {isLoggingIn && (
            <>
              <ProxyFields
                draft={proxy}
                isTried={isTried}
                hint={`${t.proxyLead} ${t.proxyFirst}`}
                onChange={setProxy}
              />
              <OAuthSteps
                proxy={isProxyOk ? proxyOf(proxy) : "incomplete"}
                onMistake={() => setTried(true)}
                onFinished={(finished) => {
                  setTried(false);
                  setLogin(finished);
                  const { email = null } = finished.profile ?? {};
                  if (email !== null && settings.name === "") {
                    setSettings({ ...settings, name: email });
                  }
                }}
              />
            </>
          )}
          {!isLoggingIn && (
            <form class="form" noValidate onSubmit={(event) => void submit(event)}>
              {way === "oauth" ? (
                <LoggedIn login={login} />
              ) : (
                <SecretField way={way} value={secret} isTried={isTried} onValue={setSecret} />
              )}
              <NameFields draft={settings} mistakes={shown} onChange={setSettings} />
              {way !== "oauth" && (
                <ProxyFields draft={proxy} isTried={isTried} onChange={setProxy} />
              )}
              <details open={hasMistakeBelow || undefined}>
                <summary>{t.moreSettings}</summary>
                <div class="form">
                  <WorkFields draft={settings} mistakes={shown} onChange={setSettings} />
                  {way !== "oauth" && <RegionField value={region} onValue={setRegion} />}
                </div>
              </details>
              {failure !== null && <FailureNotice failure={failure} />}
              <div>
                <Button type="submit" kind="primary" isBusy={isBusy}>
                  {t.create}
                </Button>
              </div>
            </form>
          )}
        </div>
      </Card>
    </div>
  );
}

function LoggedIn({ login }: { login: FinishedLogin | null }) {
  const t = accountsWords();
  const email = login?.profile?.email ?? null;
  return (
    <Notice tone="good">
      <strong>{email === null ? t.linkedUnknown : t.linked(email)}</strong>
      <p>{t.stateChecked}</p>
    </Notice>
  );
}

function RegionField({ value, onValue }: { value: string; onValue: (region: string) => void }) {
  const t = accountsWords();
  return (
    <SelectField
      label={t.region}
      hint={t.regionHint}
      isOptional
      value={value}
      options={[
        { value: "", label: t.regionAny },
        ...Object.entries(t.regions).map(([name, label]) => ({ value: name, label })),
      ]}
      onValue={onValue}
    />
  );
}
