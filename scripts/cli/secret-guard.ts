import { usageFailure } from "./failure.ts";

/** How Anthropic's credentials and this relay's keys look. */
const SECRET = /sk-ant-[\w-]{8}|cr_[0-9a-f]{16}/;
/** Flags that people try, and what to use instead. */
const WISHES: Record<string, string> = {
  "--password": "set ADMIN_PASSWORD, or be asked for it",
  "--api-key": "use --api-key-stdin",
  "--setup-token": "use --setup-token-stdin",
  "--token": "use --setup-token-stdin",
  "--proxy": "use --proxy-stdin",
};

/**
 * Refuses secrets among the arguments: every user of the machine can read those, and the shell
 * writes them down.
 */
export function refuseSecrets(args: readonly string[]): void {
  for (const arg of args) {
    const advice = WISHES[arg.split("=", 1)[0] ?? ""];
    if (advice !== undefined) {
      throw usageFailure(`Secrets are not given on the command line: ${advice}.`);
    }
    if (SECRET.test(arg)) {
      throw usageFailure(
        "There is a secret on the command line, where the shell's history and other users can see it.\nReplace it soon; give secrets over standard input, and name keys and accounts by name or id.",
      );
    }
  }
}
