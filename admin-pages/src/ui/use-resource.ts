import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ABANDONED, type Answer, type Failure } from "../api/client.ts";

/** What a screen shows of something that it has asked for. */
export interface Resource<T> {
  /** The newest value that came; it stays while a newer one is on its way, or failed to come. */
  value: T | null;
  failure: Failure | null;
  isLoading: boolean;
  /** Asks again. Resolves when the answer is there. */
  reload: () => Promise<void>;
  /** Puts a value in place that an act has brought. */
  set: (value: T) => void;
}

/**
 * Asks when the component appears, when an input changes, and now and again.
 *
 * @param inputs what the question depends on; with another one, the old value is gone
 * @param everyMs pause between two askings; none while the page is hidden
 */
export function useResource<T>(
  load: (signal: AbortSignal) => Promise<Answer<T>>,
  inputs: readonly unknown[],
  everyMs?: number,
): Resource<T> {
  const [state, setState] = useState<{ key: string; value: T | null; failure: Failure | null }>({
    key: "",
    value: null,
    failure: null,
  });
  const [isLoading, setLoading] = useState(true);
  const key = JSON.stringify(inputs);
  const current = useRef<AbortController | null>(null);
  const loader = useRef(load);
  loader.current = load;

  const reload = useCallback(async () => {
    current.current?.abort();
    const controller = new AbortController();
    current.current = controller;
    setLoading(true);
    const answer = await loader.current(controller.signal);
    if (current.current !== controller) return;
    if (!answer.ok && answer.error.code === ABANDONED) return;
    setLoading(false);
    setState((before) =>
      answer.ok
        ? { key, value: answer.value, failure: null }
        : { key, value: before.key === key ? before.value : null, failure: answer.error },
    );
  }, [key]);

  useEffect(() => {
    void reload();
    return () => {
      current.current?.abort();
      current.current = null;
    };
  }, [reload]);

  useEffect(() => {
    if (everyMs === undefined) return;
    const timer = setInterval(() => {
      if (!document.hidden) void reload();
    }, everyMs);
    return () => clearInterval(timer);
  }, [reload, everyMs]);

  const set = useCallback((value: T) => setState({ key, value, failure: null }), [key]);
  const isOwn = state.key === key;
  return {
    value: isOwn ? state.value : null,
    failure: isOwn ? state.failure : null,
    isLoading,
    reload,
    set,
  };
}
