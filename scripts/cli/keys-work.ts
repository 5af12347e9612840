import type { Command } from "commander";
import { type CommandContext, contextOf } from "./command-context.ts";
import { usageFailure } from "./failure.ts";
import type { Key } from "./key.ts";
import { findKeyStore, type KeyStorePlace, type StoreKind } from "./key-store-place.ts";
import { type OpenStore, withStore } from "./open-store.ts";
import { shortId } from "./reference.ts";
import { RelayNotice } from "./relay-notice.ts";
import { plain } from "./text-width.ts";

export const WHICH = "name, id, or the beginning of an id";

/** What a command on keys works with: the store itself, and a relay to be told. */
export interface KeyWork extends CommandContext {
  open: OpenStore;
  notice: RelayNotice;
}

/** Runs a command on the store that holds the keys. */
export async function onKeys<T>(command: Command, work: (work: KeyWork) => Promise<T>): Promise<T> {
  const context = contextOf(command);
  const place = await keysPlace(command);
  return withStore(place, (open) =>
    work({ ...context, open, notice: new RelayNotice(context.address, open) }),
  );
}

/** @param kind instead of what KEY_STORE says */
export async function keysPlace(command: Command, kind?: StoreKind): Promise<KeyStorePlace> {
  const { remote } = command.optsWithGlobals<{ remote?: boolean }>();
  const { address } = contextOf(command);
  const place = await findKeyStore(remote === true, kind);
  if (place.kind === "local" && address.isGiven && !address.isLoopback) {
    throw usageFailure(
      `${address.url} is not on this machine, and its keys are not in the store on this machine:\nadd --remote for those of the deployed relay.`,
    );
  }
  return place;
}

export function called({ name, id }: Pick<Key, "name" | "id">): string {
  return `"${plain(name)}" (${shortId(id)})`;
}
