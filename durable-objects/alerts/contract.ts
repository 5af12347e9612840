import type { AlertFormat, AlertKind } from "../../src/alerts/alert.ts";

/** The name of the one Alerts object. */
export const ALERTS_NAME = "alerts";
/** Each alert goes to each of them. */
export const MAX_WEBHOOKS = 20;

/** A webhook as an admin gives it. */
export interface WebhookSettings {
  name: string;
  format: AlertFormat;
  kinds: AlertKind[];
  enabled: boolean;
  address: string;
  /** What proves the sender; null where the format has none, or none is wanted. */
  secret: string | null;
}

/** What is shown of a webhook: neither its address, which may hold a token, nor its secret. */
export interface ShownWebhook {
  id: string;
  name: string;
  format: AlertFormat;
  kinds: AlertKind[];
  enabled: boolean;
  /** The host of its address. */
  host: string;
  isSigned: boolean;
  createdAtMs: number;
  delivery: {
    lastSuccessAtMs: number | null;
    lastFailureAtMs: number | null;
    /** In words. */
    lastFailure: string | null;
    /** Tries in vain since the last success. */
    failures: number;
    nextTryAtMs: number | null;
    waiting: number;
    /** Messages that were never delivered, since the webhook was made. */
    givenUp: number;
  };
}

/** A limit of a key that is near its end, or reached. */
export interface KeyLevel {
  keyId: string;
  /** `costPerDay`, `window.requests` … */
  limit: string;
  /** `none`: it has room again. */
  level: "none" | "near" | "reached";
  /** In words: what is used of what. */
  reason: string;
  /** When it has room again by itself; null: not by itself. */
  untilMs: number | null;
  atMs: number;
}

export type WebhookProblem = "unknown" | "name_taken" | "too_many";
