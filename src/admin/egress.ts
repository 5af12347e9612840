import { Hono } from "hono";
import { checkForwardProxies } from "../egress/check.ts";
import { type AdminEnv, success } from "./envelope.ts";

/** `GET /admin/egress`: whether each forward proxy answers this relay. Nothing goes further than it. */
export const egressRoutes = new Hono<AdminEnv>().get("/", async (c) => {
  const { egress, config } = c.get("services");
  const forwardProxies = await checkForwardProxies(egress);
  return success(c, { forwardProxies, tellsExitAddress: config.exitAddressUrl !== "" });
});
