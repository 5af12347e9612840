import { type RequestRecord, type RequestRow, recordOf } from "./request-record.ts";

/** The newest first. */
export function readRequests(sql: SqlStorage, limit: number): RequestRecord[] {
  return sql
    .exec<RequestRow>("SELECT * FROM requests ORDER BY id DESC LIMIT ?", limit)
    .toArray()
    .map(recordOf);
}
