import { countRequest, counts } from "./counts.js";

/** The mark of changes past the relay, which serves all keys; see src/keys/kv.ts. */
const CHANGE_MARK = "changed";

/** By the environment as the runtime gives it: the relay keeps what it made for an environment. */
const made = new WeakMap();

/**
 * The environment with bindings that count.
 *
 * @param classes the class of Durable Object by the name of its binding
 */
export function countedEnv(env, classes) {
  const known = made.get(env);
  if (known !== undefined) return known;
  const counted = { ...env };
  for (const [name, binding] of Object.entries(env)) {
    if (Object.hasOwn(classes, name)) counted[name] = countedNamespace(binding, classes[name]);
    else if (typeof binding?.getWithMetadata === "function") counted[name] = countedKv(binding);
  }
  made.set(env, counted);
  return counted;
}

function countedNamespace(namespace, className) {
  return {
    idFromName: (name) => namespace.idFromName(name),
    idFromString: (id) => namespace.idFromString(id),
    newUniqueId: () => namespace.newUniqueId(),
    get: (id) => countedStub(namespace.get(id), className, id.toString()),
  };
}

/** Each call of a method is billed as a request. */
function countedStub(stub, className, id) {
  return new Proxy(
    {},
    {
      get: (_, method) =>
        // Only a promise has it, and a stub must not be taken for one.
        method === "then"
          ? undefined
          : (...args) => countRequest(className, id, () => stub[method](...args)),
    },
  );
}

function countedKv(kv) {
  const read = (names) => {
    if (names === CHANGE_MARK) counts.kvSharedReads += 1;
    else counts.kvReads += Array.isArray(names) ? names.length : 1;
  };
  return {
    get(names, ...rest) {
      read(names);
      return kv.get(names, ...rest);
    },
    getWithMetadata(names, ...rest) {
      read(names);
      return kv.getWithMetadata(names, ...rest);
    },
    put(...args) {
      counts.kvWrites += 1;
      return kv.put(...args);
    },
    delete(...args) {
      counts.kvWrites += 1;
      return kv.delete(...args);
    },
    // Priced as a write.
    list(...args) {
      counts.kvWrites += 1;
      return kv.list(...args);
    },
  };
}
