import { reasonOf, type WranglerOutcome } from "../cli/wrangler-run.ts";
import { Stop } from "../host/stop.ts";

interface KnownFailure {
  /** In what wrangler or Cloudflare's API says. */
  sign: RegExp;
  /** What happened and what to do next. */
  words: string;
}

/** The first that fits counts: what is wrong with the account comes before what it leads to. */
const KNOWN: readonly KnownFailure[] = [
  {
    sign: /fetch failed|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|network connection|Failed to fetch auth token/i,
    words:
      "Cloudflare could not be reached. Look after the network of this machine (a proxy is taken from HTTPS_PROXY), then run the command again.",
  },
  {
    sign: /More than one account available/i,
    words:
      "The login knows several Cloudflare accounts. Choose one: CLOUDFLARE_ACCOUNT_ID=… npm run deploy (`npx wrangler whoami` lists their ids).",
  },
  {
    sign: /not logged in|not authenticated|CLOUDFLARE_API_TOKEN|Authentication error|\[code: 10000\]|\[code: 9109\]/i,
    words:
      "Cloudflare does not know this login, or it may not do this. Run `npx wrangler login`; a CLOUDFLARE_API_TOKEN needs the permissions of the template “Edit Cloudflare Workers”.",
  },
  {
    sign: /workers\.dev subdomain|\[code: 10063\]/i,
    words:
      "The Cloudflare account has no workers.dev subdomain yet. Choose one, once, at https://dash.cloudflare.com/?to=/:account/workers/onboarding. Or give the relay a route of your own in wrangler.toml, with workers_dev = false.",
  },
  {
    sign: /free plan|paid plan|upgrade your plan|exceeded the .*limit|limit (?:has been )?(?:reached|exceeded)|\[code: (?:10027|10037|10097)\]/i,
    words:
      "A limit of the account's plan is reached; nothing is wrong with the relay. Its size, classes and one KV namespace fit the Free plan by themselves: remove Workers or namespaces that are not needed any more, or take the Workers Paid plan.",
  },
  {
    sign: /namespace with this (?:account ID and )?title already exists|\[code: 10014\]/i,
    words:
      'The account has a KV namespace of that name, left by a relay that was there before. To go on with its keys, put its id into wrangler.toml beside binding = "RELAY_KEYS" (`npx wrangler kv namespace list` shows it); else remove it: npx wrangler kv namespace delete.',
  },
  {
    sign: /\[code: (?:10074|10079)\]|migration tag|new_sqlite_classes.*already/i,
    words:
      "The deployed Worker has classes that wrangler.toml knows otherwise: it is a newer relay than this one, or another program. Deploy the newer version, or choose another name in wrangler.toml.",
  },
];

/**
 * Why wrangler failed, in words that tell what to do, and in its own.
 *
 * @param doing what was being done, as in "The secrets could not be set"
 */
export function stopFor(doing: string, { stdout, stderr }: WranglerOutcome): Stop {
  const output = `${stderr}\n${stdout}`;
  const known = KNOWN.find(({ sign }) => sign.test(output));
  const reason = `wrangler says: ${reasonOf(stderr.trim() === "" ? stdout : stderr)}`;
  const next = known?.words ?? "Mend that and run the command again: it goes on where it stopped.";
  return new Stop(`${doing}.\n${next}\n${reason}`);
}
