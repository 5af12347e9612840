/** Encodings that the runtime can decode. Upstream is asked for none, and may use one all the same. */
type Format = ConstructorParameters<typeof DecompressionStream>[0];

const DECODABLE = new Map<string, Format>([
  ["gzip", "gzip"],
  ["x-gzip", "gzip"],
  ["deflate", "deflate"],
]);

/** What to do with a body of these headers before it can be read. */
export type Decoding = { kind: "none" } | { kind: "decode"; format: Format } | { kind: "unknown" };

export function decodingOf(headers: Headers): Decoding {
  const encoding = (headers.get("content-encoding") ?? "").trim().toLowerCase();
  if (encoding === "" || encoding === "identity") return { kind: "none" };
  const format = DECODABLE.get(encoding);
  return format === undefined ? { kind: "unknown" } : { kind: "decode", format };
}

/** A whole body as text, decoded where it can be; empty where it cannot. */
export async function decodedText(bytes: Uint8Array, headers: Headers): Promise<string> {
  const decoding = decodingOf(headers);
  switch (decoding.kind) {
    case "none":
      return new TextDecoder().decode(bytes);
    case "unknown":
      return "";
    case "decode":
      try {
        const decoded = new Blob([bytes])
          .stream()
          .pipeThrough(new DecompressionStream(decoding.format));
        return await new Response(decoded).text();
      } catch {
        return "";
      }
  }
}
