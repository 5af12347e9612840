import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";

/** A plain HTTP proxy that opens tunnels and does nothing else: an account's proxy at its fastest. */
const server = createServer((_, response) => response.writeHead(405).end());
server.on("connect", ({ url = "" }, client) => {
  const { hostname, port } = new URL(`http://${url}`);
  const upstream = connect({ host: hostname, port: Number(port || 80), noDelay: true });
  upstream.once("connect", () => {
    client.write("HTTP/1.1 200 Connection established\r\n\r\n");
    client.pipe(upstream);
    upstream.pipe(client);
  });
  client.on("error", () => upstream.destroy());
  upstream.on("error", () => client.destroy());
  client.on("close", () => upstream.destroy());
  upstream.on("close", () => client.destroy());
});
server.listen(0, "127.0.0.1", () => {
  process.send?.({ port: (server.address() as AddressInfo).port });
});
process.once("disconnect", () => process.exit(0));
