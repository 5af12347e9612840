import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, expect, test } from "vitest";
import { AccessTeam, AUDIENCE } from "../fixtures/access-team.ts";
import { settled } from "./harness/screens.ts";
import { useStage } from "./harness/use-stage.ts";

const VIEWER = "new@example.com";
const LOGOUT = "/cdn-cgi/access/logout";
const server = createServer(async (_, answer) => {
  answer.writeHead(200, { "content-type": "application/json" });
  answer.end(JSON.stringify(await team.certs()));
});
await once(server.listen(0, "127.0.0.1"), "listening");
const team = await AccessTeam.start(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
afterAll(() => {
  server.close();
});
const stage = useStage({
  vars: {
    ACCESS_TEAM_DOMAIN: team.origin,
    ACCESS_AUDIENCE: AUDIENCE,
    ACCESS_VIEWERS: "@example.com",
  },
});

test("whom Access lets in needs no password, is told to look only, and signs out of Access too", async () => {
  const { page, context } = await stage().visit({ signedIn: false });
  await page.getByLabel("Password").waitFor();
  // From here on Access stands in front.
  await context.setExtraHTTPHeaders({ "cf-access-jwt-assertion": await team.token(VIEWER) });
  await context.route(`**${LOGOUT}`, (route) => route.fulfill({ body: "out" }));
  await page.reload();
  await page.getByText(`Signed in as ${VIEWER}`).waitFor();
  await page.getByText("You may look, and change nothing.").waitFor();
  // What is still being read would be refused after the sign-out.
  await settled(page);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL(`**${LOGOUT}`);
  expect(await page.textContent("body")).toBe("out");
});
