# The relay on one machine. docker-compose.yml runs it beside the forward proxy.

FROM node:24.21.0-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
COPY forward-proxy/package.json forward-proxy/
# The image has the Node.js that the lockfile names: a second one would only take space.
RUN npm ci --ignore-scripts && rm -rf node_modules/node-linux-* node_modules/.bin/node
COPY wrangler.toml tsconfig.base.json tsconfig.json ./
COPY src src
COPY durable-objects durable-objects
COPY scripts scripts
COPY admin-pages/index.html admin-pages/vite.config.ts admin-pages/
COPY admin-pages/src admin-pages/src
# What the Worker and the forward proxy agree on.
COPY forward-proxy/src/contract.ts forward-proxy/src/special-networks.ts forward-proxy/src/
RUN npm run build

FROM node:24.21.0-bookworm-slim
# Within the container every address: compose decides what is published.
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8787 RELAY_STATE_DIR=/state
WORKDIR /app
COPY --from=build /app /app
# Copying may have made sources look newer than what was built of them. A volume takes over the owner.
RUN touch dist/worker/built-at dist/panel.built-at && mkdir /state && chown node:node /state
USER node
EXPOSE 8787
HEALTHCHECK --interval=15s --timeout=10s --start-period=20s --retries=3 \
  CMD ["node", "scripts/service.ts", "status"]
CMD ["node", "scripts/start.ts"]
