export const CLIENTS = ["claudeCode", "curl", "python", "typescript"] as const;
export type Client = (typeof CLIENTS)[number];

/** A model that is small and cheap: it is only to be seen that an answer comes. */
const MODEL = "claude-haiku-4-5";

/** What to run so that a client talks to the relay. */
export function commandFor(client: Client, url: string, key: string): string {
  switch (client) {
    case "claudeCode":
      return [
        `export ANTHROPIC_BASE_URL=${url}`,
        `export ANTHROPIC_AUTH_TOKEN=${key}`,
        `claude -p "Say hello"`,
      ].join("\n");
    case "curl":
      return [
        `curl ${url}/v1/messages \\`,
        `  -H "x-api-key: ${key}" \\`,
        `  -H "anthropic-version: 2023-06-01" \\`,
        `  -H "content-type: application/json" \\`,
        `  -d '{"model":"${MODEL}","max_tokens":64,"messages":[{"role":"user","content":"Say hello"}]}'`,
      ].join("\n");
    case "python":
      return [
        "from anthropic import Anthropic",
        "",
        `client = Anthropic(base_url="${url}", api_key="${key}")`,
        "message = client.messages.create(",
        `    model="${MODEL}",`,
        "    max_tokens=64,",
        `    messages=[{"role": "user", "content": "Say hello"}],`,
        ")",
        "print(message.content[0].text)",
      ].join("\n");
    case "typescript":
      return [
        `import Anthropic from "@anthropic-ai/sdk";`,
        "",
        `const client = new Anthropic({ baseURL: "${url}", apiKey: "${key}" });`,
        "const message = await client.messages.create({",
        `  model: "${MODEL}",`,
        "  max_tokens: 64,",
        `  messages: [{ role: "user", content: "Say hello" }],`,
        "});",
        "console.log(message.content);",
      ].join("\n");
  }
}
