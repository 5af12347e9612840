import { readEgress } from "../../api/accounts.ts";
import { accountsWords } from "../../i18n/accounts.ts";
import { SelectField, SwitchField, TextField } from "../../ui/fields.tsx";
import { Notice } from "../../ui/states.tsx";
import { useResource } from "../../ui/use-resource.ts";
import { isPort, type ProxyDraft } from "./proxy-draft.ts";

const TYPES = ["socks5", "http", "https"] as const;

/** Whether an account has a proxy of its own, which, and who dials it. */
export function ProxyFields({
  draft,
  isTried,
  hint,
  onChange,
}: {
  draft: ProxyDraft;
  /** Mistakes are told once it was to be sent. */
  isTried: boolean;
  hint?: string;
  onChange: (draft: ProxyDraft) => void;
}) {
  const t = accountsWords();
  const set = (change: Partial<ProxyDraft>) => onChange({ ...draft, ...change });
  return (
    <div class="stack">
      <SwitchField
        label={t.useProxy}
        hint={hint ?? t.proxyLead}
        isOn={draft.isUsed}
        onToggle={(isUsed) => set({ isUsed })}
      />
      {draft.isUsed && (
        <>
          <div class="form-columns">
            <SelectField
              label={t.proxyType}
              value={draft.type}
              options={TYPES.map((value) => ({ value, label: value.toUpperCase() }))}
              onValue={(type) => set({ type })}
            />
            <TextField
              label={t.host}
              required
              spellcheck={false}
              error={isTried && draft.host.trim() === "" ? t.required : undefined}
              value={draft.host}
              onValue={(host) => set({ host })}
            />
            <TextField
              label={t.port}
              inputMode="numeric"
              error={isTried && !isPort(draft.port) ? t.badPort : undefined}
              value={draft.port}
              onValue={(port) => set({ port })}
            />
            <TextField
              label={t.proxyUser}
              isOptional
              autocomplete="off"
              value={draft.username}
              onValue={(username) => set({ username })}
            />
            <TextField
              label={t.proxyPassword}
              isOptional
              type="password"
              autocomplete="new-password"
              hint={t.passwordKept}
              value={draft.password}
              onValue={(password) => set({ password })}
            />
          </div>
          <ForwardProxyField value={draft.via} onValue={(via) => set({ via })} />
        </>
      )}
    </div>
  );
}

function ForwardProxyField({ value, onValue }: { value: string; onValue: (via: string) => void }) {
  const t = accountsWords();
  const egress = useResource(readEgress, []).value;
  if (egress === null) return null;
  if (egress.forwardProxies.length === 0) return <Notice tone="warn">{t.noForwardProxies}</Notice>;
  return (
    <SelectField
      label={t.via}
      value={value}
      options={[
        { value: "", label: t.anyForwardProxy },
        ...egress.forwardProxies.map(({ name, ok, message }) => ({
          value: name,
          label: ok ? name : `${name} — ${message}`,
        })),
      ]}
      onValue={onValue}
    />
  );
}
