import { useEffect, useRef, useState } from "preact/hooks";
import type { Failure } from "../../api/client.ts";
import { signIn } from "../../api/session.ts";
import { nowMs, useTicking } from "../../format/clock.ts";
import { duration } from "../../format/times.ts";
import { signInWords } from "../../i18n/sign-in.ts";
import { signedIn } from "../../session.ts";
import { Brand } from "../../ui/brand.tsx";
import { Button } from "../../ui/button.tsx";
import { TextField } from "../../ui/fields.tsx";
import { Preferences } from "../../ui/preferences.tsx";
import { FailureNotice, Notice } from "../../ui/states.tsx";

const SECOND_MS = 1_000;

/** Comes in place of any screen while nobody is signed in; afterwards that screen is there. */
export function SignIn({ hasEnded }: { hasEnded: boolean }) {
  const t = signInWords();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const [openAtMs, setOpenAtMs] = useState(0);
  const passwordPlace = useRef<HTMLInputElement>(null);
  useEffect(() => {
    document.title = t.title;
  }, [t]);

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    setBusy(true);
    setFailure(null);
    const opened = await signIn(username, password);
    setBusy(false);
    if (opened.ok) return signedIn(opened.value);
    setFailure(opened.error);
    setPassword("");
    passwordPlace.current?.focus();
    if (opened.error.retryAfterS !== null) {
      setOpenAtMs(Date.now() + opened.error.retryAfterS * SECOND_MS);
    }
  };
  return (
    <div class="sign-in">
      <main>
        <Brand />
        <h1>{t.title}</h1>
        <p class="muted">{t.lead}</p>
        {hasEnded && failure === null && <Notice tone="warn">{t.ended}</Notice>}
        <form onSubmit={(event) => void submit(event)}>
          <TextField
            label={t.username}
            name="username"
            autocomplete="username"
            autocapitalize="none"
            spellcheck={false}
            required
            value={username}
            onValue={setUsername}
          />
          <TextField
            label={t.password}
            inputRef={passwordPlace}
            name="password"
            type="password"
            autocomplete="current-password"
            required
            value={password}
            onValue={setPassword}
          />
          <div aria-live="polite">
            {failure !== null && <Refusal failure={failure} openAtMs={openAtMs} />}
          </div>
          <Button type="submit" kind="primary" isBusy={isBusy}>
            {isBusy ? t.submitting : t.submit}
          </Button>
        </form>
        <p class="muted small">{t.help}</p>
        <Preferences />
      </main>
    </div>
  );
}

function Refusal({ failure, openAtMs }: { failure: Failure; openAtMs: number }) {
  const t = signInWords();
  useTicking();
  if (failure.code === "login_failed") return <Notice tone="bad">{t.wrong}</Notice>;
  if (failure.code === "login_throttled") {
    const leftMs = openAtMs - nowMs.value;
    return leftMs > 0 ? (
      <Notice tone="bad">{t.throttled(duration(leftMs))}</Notice>
    ) : (
      <Notice tone="good">{t.throttledOver}</Notice>
    );
  }
  return <FailureNotice failure={failure} />;
}
