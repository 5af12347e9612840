type AnyMethod = (...args: never[]) => unknown;

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
    if (!isRetryable(error)) throw error;
    return call(stub());
  }
}

/** The runtime's own marks; the text of an error is never parsed. An overloaded object is left alone. */
function isRetryable(error: unknown): boolean {
  const marks = error as { retryable?: boolean; overloaded?: boolean } | null;
  return marks?.retryable === true && marks.overloaded !== true;
}

/** Whether an error came out of a Durable Object, or of the way to it. */
export function isObjectFailure(error: unknown): boolean {
  const marks = error as { remote?: boolean; retryable?: boolean; overloaded?: boolean } | null;
  return marks?.remote === true || marks?.retryable === true || marks?.overloaded === true;
}
