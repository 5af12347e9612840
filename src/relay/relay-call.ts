import type { KeyRecord } from "../keys/key-record.ts";
import type { MessageFields } from "./message-fields.ts";
import type { Services } from "./services.ts";

/** One request on its walk. */
export interface RelayCall {
  services: Services;
  ctx: ExecutionContext;
  request: Request;
  requestId: string;
  startedAtMs: number;
  key: KeyRecord;
  /** Which of the key's secrets was shown. */
  keyMark: string;
  /** Path and query as upstream knows them. */
  upstreamPath: string;
  /** Only messages are leased, metered and billed. */
  metered: boolean;
  /** Names of the client's headers that are not sent upstream. */
  unwantedHeaders: readonly string[];
  body: Uint8Array;
  fields: MessageFields;
  family: string;
  session: string | null;
  /** The account that the session is on: what this isolate knows, then what the meter says. */
  pinnedTo: string | null;
  /** Whether another request may wait for this one's settlement. */
  isTight: boolean;
}
