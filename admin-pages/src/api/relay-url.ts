/** Where clients send messages: this very origin, or what the host of the panel was told. */
export async function readRelayUrl(): Promise<string> {
  try {
    const answer = await fetch("/web/relay.json");
    const { url } = (await answer.json()) as { url: string | null };
    return url ?? location.origin;
  } catch {
    return location.origin;
  }
}
