import { Failure } from "./failure.ts";
import { runWrangler } from "./wrangler-run.ts";

/** Secrets of the deployed Worker by name; null removes one. */
export type DeployedSecrets = Record<string, string | null>;

/**
 * Gives the deployed Worker secrets, all of them in one step: no version of it ever runs with one
 * half. They go over standard input.
 *
 * @param script instead of the project's own wrangler
 */
export async function putSecrets(secrets: DeployedSecrets, script?: string): Promise<void> {
  const output = await runWrangler(["secret", "bulk"], {
    script,
    stdin: JSON.stringify(secrets),
    failing: "wrangler could not change the deployed relay's secrets",
  });
  // It ends without an error, too, where it found no Worker to give them to.
  if (Object.keys(secrets).every((name) => output.includes(name))) return;
  throw new Failure(
    "wrangler did not say that it changed the secrets. Is the relay deployed? Look: npx wrangler secret list",
  );
}
