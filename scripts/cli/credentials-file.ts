import { readFileSync } from "node:fs";
import { errorCode } from "../host/stop.ts";
import { Failure, usageFailure } from "./failure.ts";
import { restOfInput } from "./terminal.ts";
import { pathFrom } from "./user-path.ts";

/** The part of a Claude Code credentials file that the admin API takes. */
export interface ClaudeAiOauth {
  accessToken: string;
  refreshToken?: string;
  expiresAt?: number;
  scopes?: string[];
}

/** Reads a Claude Code credentials file; "-" is standard input. Errors never quote its content. */
export async function readCredentials(path: string): Promise<ClaudeAiOauth> {
  return path === "-"
    ? credentialsOf(await restOfInput(), "Standard input")
    : credentialsOf(readText(path), path);
}

/** @param place what the text is called in an error, which never quotes it */
export function credentialsOf(text: string, place: string): ClaudeAiOauth {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw new Failure(
      `${place} holds no JSON. A Claude Code credentials file begins with {"claudeAiOauth":`,
    );
  }
  const login = isObject(content) ? content.claudeAiOauth : undefined;
  if (!isObject(login) || typeof login.accessToken !== "string") {
    throw new Failure(
      `${place} is no Claude Code credentials file: claudeAiOauth.accessToken is missing.`,
    );
  }
  const { accessToken, refreshToken, expiresAt, scopes } = login;
  return {
    accessToken,
    ...(typeof refreshToken === "string" ? { refreshToken } : {}),
    ...(typeof expiresAt === "number" ? { expiresAt } : {}),
    ...(isTexts(scopes) ? { scopes } : {}),
  };
}

function readText(path: string): string {
  const whole = pathFrom(path);
  try {
    return readFileSync(whole, "utf8");
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOENT") throw usageFailure(`There is no file ${whole}.`);
    throw usageFailure(`${whole} cannot be read (${code ?? "unknown reason"}).`);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === "string");
}
