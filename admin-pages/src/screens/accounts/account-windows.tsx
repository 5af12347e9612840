import type { Account } from "../../api/accounts.ts";
import { percent } from "../../format/numbers.ts";
import { accountsWords } from "../../i18n/accounts.ts";
import { commonWords } from "../../i18n/common.ts";
import { wordFor } from "../../i18n/dictionary.ts";
import { Meter } from "../../ui/meter.tsx";
import { Countdown } from "../../ui/time.tsx";

/** A bar for each window that Anthropic told of, the short ones first. @param most how many at the most */
export function AccountWindows({ account, most }: { account: Account; most?: number }) {
  const known = Object.entries(account.windows)
    .filter(([, { utilisation }]) => utilisation !== null)
    .sort(
      ([a, one], [b, other]) =>
        rank(a) - rank(b) || (other.utilisation ?? 0) - (one.utilisation ?? 0),
    )
    .slice(0, most);
  if (known.length === 0) return <span class="muted">{accountsWords().noWindows}</span>;
  return (
    <div class="windows">
      {known.map(([name, { utilisation, reset }]) => (
        <Meter
          key={name}
          label={windowName(name)}
          fraction={utilisation}
          value={percent(utilisation ?? 0)}
          note={
            reset === null ? undefined : <Countdown until={reset} words={commonWords().resetsIn} />
          }
        />
      ))}
    </div>
  );
}

/** `7d_opus` is the window of seven days of one model family. */
export function windowName(window: string): string {
  const [span = "", ...family] = window.split("_");
  return [wordFor(accountsWords().windowNames, span), ...family].join(" · ");
}

function rank(name: string): number {
  return name.startsWith("5h") ? 0 : name.startsWith("7d") ? 1 : 2;
}
