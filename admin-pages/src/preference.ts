import { type Signal, signal } from "@preact/signals";

const PREFIX = "relay-panel.";

/**
 * A choice of the person at this browser, kept for the next visit. Nothing secret belongs here.
 *
 * @param isValid whether a kept text is still one of the choices
 */
export function preference<T extends string>(
  name: string,
  fallback: T,
  isValid: (text: string) => text is T,
): Signal<T> {
  const kept = read(PREFIX + name);
  const choice = signal<T>(kept !== null && isValid(kept) ? kept : fallback);
  choice.subscribe((value) => {
    if (value === fallback) forget(PREFIX + name);
    else keep(PREFIX + name, value);
  });
  return choice;
}

// A browser may forbid storage: the choice then lasts as long as the page.
function read(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function keep(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {}
}

function forget(name: string): void {
  try {
    localStorage.removeItem(name);
  } catch {}
}
