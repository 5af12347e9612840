import { isAfter, SECRET, strikes, trouble } from "./trouble.js";

/** By the environment as the runtime gives it: the relay keeps what it made for an environment. */
const made = new WeakMap();

/**
 * The environment with bindings that fail as the platform's do.
 *
 * @param classes the class of Durable Object by the name of its binding
 */
export function troubledEnv(env, classes) {
  const known = made.get(env);
  if (known !== undefined) return known;
  const troubled = { ...env };
  for (const [name, binding] of Object.entries(env)) {
    if (Object.hasOwn(classes, name)) troubled[name] = troubledNamespace(binding, classes[name]);
    else if (typeof binding?.getWithMetadata === "function") troubled[name] = troubledKv(binding);
  }
  made.set(env, troubled);
  return troubled;
}

function troubledNamespace(namespace, className) {
  return {
    idFromName: (name) => namespace.idFromName(name),
    idFromString: (id) => namespace.idFromString(id),
    newUniqueId: () => namespace.newUniqueId(),
    get: (id, options) => troubledStub(namespace.get(id, options), className),
  };
}

/** The way to an object breaks before it has heard the call, or before its answer is back. */
function troubledStub(stub, className) {
  const call = async (method, args) => {
    const share = trouble.objects[className]?.unreached ?? 0;
    if (!strikes(`${className} unreached`, share)) return stub[method](...args);
    if (isAfter()) await stub[method](...args);
    throw Object.assign(new Error(`Network connection lost. ${SECRET}`), { retryable: true });
  };
  return new Proxy(
    {},
    {
      get: (_, method) =>
        // Only a promise has it, and a stub must not be taken for one.
        method === "then" ? undefined : (...args) => call(method, args),
    },
  );
}

function troubledKv(kv) {
  const as =
    (kind, method) =>
    async (...args) => {
      if (strikes(kind, trouble.keyStore[kind])) throw new Error(`KV failed: 503 ${SECRET}`);
      return kv[method](...args);
    };
  return {
    get: as("reads", "get"),
    getWithMetadata: as("reads", "getWithMetadata"),
    list: as("reads", "list"),
    put: as("writes", "put"),
    delete: as("writes", "delete"),
  };
}
