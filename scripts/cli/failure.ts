/** What the CLI exits with; `--help` documents the same list. */
export const exitCodes = {
  ok: 0,
  /** The relay refused, the act failed, or the person said no. */
  failed: 1,
  usage: 2,
  unreachable: 3,
  notSignedIn: 4,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/**
 * An expected end: the message says what happened and what to do, in one or two lines. Printed
 * without a stack.
 */
export class Failure extends Error {
  override name = "Failure";
  readonly exitCode: ExitCode;

  constructor(message: string, exitCode: ExitCode = exitCodes.failed) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** An answer of the admin API that refuses. */
export class Refusal extends Failure {
  override name = "Refusal";
  readonly status: number;
  /** The API's own code, such as "not_found". */
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    const isSignIn = code === "login_failed" || code === "login_throttled";
    super(message, isSignIn ? exitCodes.notSignedIn : exitCodes.failed);
    this.status = status;
    this.code = code;
  }
}

export function usageFailure(message: string): Failure {
  return new Failure(message, exitCodes.usage);
}
