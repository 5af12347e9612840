type AnyMethod = (...args: never[]) => unknown;

/** Together they fit into the time that a request has after its client has left. */
const HEARD_TRIES = 6;
const HEARD_RETRY_FIRST_MS = 250;

/** A Durable Object's methods as they look from outside: each answers later, with plain data. */
export type Remote<T> = {
  [Name in keyof T as T[Name] extends AnyMethod ? Name : never]: T[Name] extends (
    ...args: infer Args
  ) => infer Answer
    ? (...args: Args) => Promise<Awaited<Answer>>
    : never;
};

/**
 * The object of this name. The runtime's own stub type wraps every answer for pipelining, which
 * makes unions of answers unreadable; all answers here are plain data.
 *
 * @param locationHint where an object that is not made yet should be
 */
export function remote<T extends Rpc.DurableObjectBranded>(
  namespace: DurableObjectNamespace<T>,
  name: string,
  locationHint: DurableObjectLocationHint | null = null,
): Remote<T> {
  const options = locationHint === null ? undefined : { locationHint };
  return namespace.get(namespace.idFromName(name), options) as unknown as Remote<T>;
}

/**
 * Calls a Durable Object, and once more with a fresh stub where the runtime says that trying again
 * may help. Only for calls that may be repeated: the first one may have been carried out.
 */
export async function callObject<Stub, T>(
  stub: () => Stub,
  call: (stub: Stub) => Promise<T>,
): Promise<T> {
  try {
    return await call(stub());
  } catch (error) {
    if (!isRetryable(error)) throw noted(error);
    return call(stub()).catch((again: unknown) => {
      throw noted(again);
    });
  }
}

/**
 * Calls until it is heard, with longer and longer pauses: for what holds something back while it is
 * not heard. For calls that may be repeated, and off the path of a request.
 */
export async function callUntilHeard<Stub, T>(
  stub: () => Stub,
  call: (stub: Stub) => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await callObject(stub, call);
    } catch (error) {
      if (tries >= HEARD_TRIES) throw error;
      await scheduler.wait(HEARD_RETRY_FIRST_MS * 2 ** (tries - 1));
    }
  }
}

/** The runtime's own marks on an error; its text is never parsed. */
interface Marks {
  /** Trying again may help. */
  retryable?: boolean;
  /** Trying again would make it worse. */
  overloaded?: boolean;
  /** Thrown by the object's own code. */
  remote?: boolean;
  /** The object ended in the middle of the call, or could not be made: the next call makes it anew. */
  durableObjectReset?: boolean;
}

function isRetryable(error: unknown): boolean {
  const { retryable, overloaded, durableObjectReset } = (error ?? {}) as Marks;
  return (retryable === true || durableObjectReset === true) && overloaded !== true;
}

/** What calls ended in. The runtime's own faults, such as a full disk's, carry no mark at all. */
const failures = new WeakSet<object>();

function noted(error: unknown): unknown {
  if (typeof error === "object" && error !== null) failures.add(error);
  return error;
}

/** Whether an error came out of a Durable Object, or of the way to it. */
export function isObjectFailure(error: unknown): boolean {
  if (typeof error === "object" && error !== null && failures.has(error)) return true;
  const { retryable, overloaded, remote, durableObjectReset } = (error ?? {}) as Marks;
  return [retryable, overloaded, remote, durableObjectReset].includes(true);
}
