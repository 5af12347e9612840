import { createInterface } from "node:readline";
import { confirm, isCancel, password, select, text } from "@clack/prompts";
import { Failure, usageFailure } from "./failure.ts";

/** More than any credential or credentials file. */
const MAX_STDIN_CHARS = 1024 * 1024;

/** Results go to stdout, for people and pipes. */
export function print(line = ""): void {
  process.stdout.write(`${line}\n`);
}

/** Everything that is not the result goes to stderr, so that `--json` stays JSON. */
export function say(line = ""): void {
  process.stderr.write(`${line}\n`);
}

export function printJson(data: unknown): void {
  print(JSON.stringify(data, null, 2));
}

/** Whether someone is there to be asked. */
export function isInteractive(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

/** Shows nothing of what is typed, not even how long it is. */
export async function askSecret(message: string): Promise<string> {
  const answer = await password({
    message: `${message} (not shown)`,
    mask: "",
    output: process.stderr,
    validate: notEmpty,
  });
  return answered(answer).trim();
}

export async function askText(
  message: string,
  options: { initial?: string; placeholder?: string; signal?: AbortSignal } = {},
): Promise<string> {
  const { initial, placeholder, signal } = options;
  const answer = await text({
    message,
    output: process.stderr,
    validate: notEmpty,
    ...(initial === undefined ? {} : { initialValue: initial }),
    ...(placeholder === undefined ? {} : { placeholder }),
    ...(signal === undefined ? {} : { signal }),
  });
  return answered(answer).trim();
}

export async function askChoice<T extends string>(
  message: string,
  options: { value: T; label: string; hint?: string }[],
): Promise<T> {
  // The library's type of an option depends on T and cannot be worked out for a generic one.
  const answer = await select<string>({ message, output: process.stderr, options });
  return answered(answer) as T;
}

/** Lets a person confirm what cannot be undone; without one, `--yes` has to say so. */
export async function confirmed(question: string, isSure: boolean | undefined): Promise<void> {
  if (isSure) return;
  if (!isInteractive()) {
    throw usageFailure("This cannot be undone and there is no one here to ask: add --yes.");
  }
  const answer = await confirm({ message: question, output: process.stderr, initialValue: false });
  if (!answered(answer)) throw new Failure("Nothing was changed.");
}

let lines: AsyncIterator<string> | null = null;

/** @returns the next line of standard input without its line break, or null at its end */
export async function nextLine(): Promise<string | null> {
  lines ??= createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const next = await lines.next();
  return next.done ? null : next.value;
}

/** All of standard input that has not been read yet. */
export async function restOfInput(): Promise<string> {
  const read: string[] = [];
  let chars = 0;
  for (let line = await nextLine(); line !== null; line = await nextLine()) {
    chars += line.length;
    if (chars > MAX_STDIN_CHARS) throw new Failure("Standard input is too long.");
    read.push(line);
  }
  return read.join("\n");
}

/** A secret for a flag such as `--api-key-stdin`: typed unseen, or the next line of a pipe. */
export async function secretInput(what: string): Promise<string> {
  if (isInteractive()) return askSecret(what);
  const line = (await nextLine())?.trim();
  if (!line) throw usageFailure(`Standard input holds no line with the ${what}.`);
  return line;
}

function notEmpty(value: string | undefined): string | undefined {
  return value?.trim() ? undefined : "Nothing was entered.";
}

function answered<T>(answer: T): Exclude<T, symbol> {
  if (isCancel(answer)) throw new Failure("Cancelled.");
  return answer as Exclude<T, symbol>;
}
