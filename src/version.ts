import manifest from "../package.json" with { type: "json" };

/** The relay's own version, from package.json. */
export const relayVersion: string = manifest.version;

/** Sent upstream only where the client sent no `User-Agent` of its own. */
export const relayUserAgent = `claude-edge-relay/${relayVersion}`;
