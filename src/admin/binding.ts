import { allAccounts } from "../accounts/roster.ts";
import type { KeyRecord } from "../keys/key-record.ts";
import type { Services } from "../relay/services.ts";

/**
 * What is wrong with the account or tag that a key is to be bound to, or null. A key that nothing can
 * serve would be found out only by whoever holds it.
 */
export async function bindingProblem(
  { fleet }: Pick<Services, "fleet">,
  boundTo: KeyRecord["boundTo"],
): Promise<string | null> {
  if (boundTo === null) return null;
  const accounts = await allAccounts(fleet);
  const { kind, value } = boundTo;
  if (kind === "account") {
    return accounts.some(({ id }) => id === value)
      ? null
      : "accountId names an account that is not here. GET /admin/claude-accounts lists their ids.";
  }
  return accounts.some(({ tags }) => tags.includes(value))
    ? null
    : `accountTag names the tag ${value}, and no account has it: tag an account first.`;
}
