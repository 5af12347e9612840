import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

const TICK_MS = 1_000;

/** The present time, as long as something on the page counts by it. */
export const nowMs = signal(Date.now());

let watchers = 0;
let timer: ReturnType<typeof setInterval> | undefined;

/** Makes the component that reads {@link nowMs} tick: one timer serves them all. */
export function useTicking(): void {
  useEffect(() => {
    watchers += 1;
    nowMs.value = Date.now();
    timer ??= setInterval(() => {
      if (!document.hidden) nowMs.value = Date.now();
    }, TICK_MS);
    return () => {
      watchers -= 1;
      if (watchers > 0) return;
      clearInterval(timer);
      timer = undefined;
    };
  }, []);
}
