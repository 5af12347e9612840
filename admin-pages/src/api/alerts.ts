import { type Answer, call } from "./client.ts";

/** A webhook that alerts go to. Neither its address nor its secret is ever shown. */
export interface Webhook {
  id: string;
  name: string;
  format: string;
  kinds: string[];
  enabled: boolean;
  host: string;
  signed: boolean;
  createdAt: string | null;
  delivery: {
    lastSuccessAt: string | null;
    lastFailureAt: string | null;
    lastFailure: string | null;
    /** In a row. */
    failures: number;
    nextTryAt: string | null;
    waiting: number;
    givenUp: number;
  };
}

export interface AlertSettings {
  webhooks: Webhook[];
  /** All that there are. */
  kinds: string[];
  formats: string[];
}

export interface NewWebhook {
  name: string;
  format: string;
  address: string;
  secret?: string;
  kinds: string[];
}

const of = (id: string) => `/alerts/${encodeURIComponent(id)}`;

export function readAlerts(signal: AbortSignal): Promise<Answer<AlertSettings>> {
  return call("GET", "/alerts", { signal });
}

/** The answer has the secret where the relay made one: this once. */
export function createWebhook(
  body: NewWebhook,
): Promise<Answer<Webhook & { secret: string | null }>> {
  return call("POST", "/alerts", { body });
}

/** What is not given stays as it is. A webhook's format is for good. */
export type WebhookPatch = Partial<Omit<NewWebhook, "format">> & { enabled?: boolean };

export function updateWebhook(id: string, body: WebhookPatch): Promise<Answer<Webhook>> {
  return call("PUT", of(id), { body });
}

export function removeWebhook(id: string): Promise<Answer<{ removed: boolean }>> {
  return call("DELETE", of(id));
}

/** Resolves once the receiver has taken a test message, or why it did not. */
export function testWebhook(id: string): Promise<Answer<{ delivered: boolean }>> {
  return call("POST", `${of(id)}/test`);
}
