import { useEffect } from "preact/hooks";
import { LocationProvider, Route, Router, useLocation } from "preact-iso";
import { readSession } from "./api/session.ts";
import { followLanguage } from "./i18n/language.ts";
import { signInWords } from "./i18n/sign-in.ts";
import { NotFound } from "./screens/not-found.tsx";
import { SignIn } from "./screens/sign-in/sign-in.tsx";
import { BASE, OPEN_SCREENS, SCREENS, type Screen } from "./screens.ts";
import { session, signedIn } from "./session.ts";
import { followTheme } from "./theme.ts";
import { Confirmation } from "./ui/confirm.tsx";
import { Shell } from "./ui/shell.tsx";
import { FailureNotice, Loading } from "./ui/states.tsx";
import { Toasts } from "./ui/toasts.tsx";
import { useResource } from "./ui/use-resource.ts";

export function App() {
  useEffect(() => {
    const ends = [followTheme(), followLanguage()];
    return () => {
      for (const end of ends) end();
    };
  }, []);
  return (
    <LocationProvider scope={BASE}>
      <Door />
      <Confirmation />
      <Toasts />
    </LocationProvider>
  );
}

/** Lets through to the screens that need no session; else asks for one. */
function Door() {
  const { path } = useLocation();
  const isOpen = OPEN_SCREENS.some((screen) => path.startsWith(BASE + screen.path));
  return isOpen ? <Screens screens={OPEN_SCREENS} /> : <Admin />;
}

function Admin() {
  const state = session.value;
  switch (state.kind) {
    case "unknown":
      return <Asking />;
    case "signed_out":
      return <SignIn hasEnded={state.hasEnded} />;
    case "signed_in":
      return (
        <Shell session={state.session}>
          <Screens screens={SCREENS} />
        </Shell>
      );
  }
}

/** A session of before may still hold; or something in front has signed the admin in. */
function Asking() {
  const { value, failure, reload } = useResource(readSession, []);
  useEffect(() => {
    if (value !== null) signedIn(value);
  }, [value]);
  return (
    <div class="sign-in">
      <main>
        {failure === null ? (
          <>
            <p class="muted">{signInWords().checking}</p>
            <Loading lines={2} />
          </>
        ) : (
          <FailureNotice failure={failure} onRetry={() => void reload()} />
        )}
      </main>
    </div>
  );
}

function Screens({ screens }: { screens: readonly Screen[] }) {
  return (
    <Router onRouteChange={toContent}>
      {screens.map(({ path, component }) => (
        <Route key={path} path={BASE + path} component={component} />
      ))}
      <Route default component={NotFound} />
    </Router>
  );
}

/** After a step to another screen, reading and tabbing begin at its start. */
function toContent(): void {
  scrollTo(0, 0);
  document.getElementById("content")?.focus({ preventScroll: true });
}
