import { expect, test } from "vitest";
import { HOSTS } from "./harness/stage.ts";
import { useStage } from "./harness/use-stage.ts";

const stage = useStage({ hosts: HOSTS }, async ({ relay }) => {
  await relay.addApiKeyAccount("only");
});

test.each(HOSTS)(
  "on %s a key is found, its revocation is asked about first, and then its next request is refused",
  async (host) => {
    const { relay } = stage();
    const name = `lost-${host}`;
    for (const other of ["kept", "also kept"]) await relay.createKey({ name: `${other} ${host}` });
    const key = await relay.createKey({ name });
    const status = async () => (await relay.message(key)).status;
    expect(await status()).toBe(200);

    const { page } = await stage().visit({ host, path: "/keys" });
    await page.getByRole("searchbox").fill(name);
    await page.getByText("1–1 of 1").waitFor();
    await page.getByRole("link", { name }).click();
    await page.getByRole("heading", { name, level: 1 }).waitFor();
    const ask = async () => {
      await page.getByRole("button", { name: `Actions for ${name}` }).click();
      await page.getByRole("menuitem", { name: "Revoke" }).click();
      const dialog = page.getByRole("dialog");
      await dialog.getByText(`Revoke “${name}”?`).waitFor();
      await dialog.getByText("This cannot be undone.").waitFor();
      return dialog;
    };
    await (await ask()).getByRole("button", { name: "Cancel" }).click();
    expect(await status()).toBe(200);

    await (await ask()).getByRole("button", { name: "Revoke" }).click();
    await page.getByText("Revoked", { exact: true }).waitFor();
    expect(await status()).toBe(403);
  },
);
