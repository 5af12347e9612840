import { hashPassword } from "../src/admin/password.ts";

export const TEST_ADMIN = { username: "admin", password: "a password for tests only" };

/** Secrets for tests inside workerd, and endpoints at which nothing listens: those tests use their own. */
export const testBindings = {
  ANTHROPIC_API_URL: "http://127.0.0.1:9",
  OAUTH_AUTHORIZE_URL: "http://127.0.0.1:9/oauth/authorize",
  OAUTH_TOKEN_URL: "http://127.0.0.1:9/v1/oauth/token",
  ACCESS_TEAM_DOMAIN: "https://team.example",
  ACCESS_AUDIENCE: "the application",
  ACCESS_VIEWERS: "*",
  JWT_SECRET: "0123456789abcdef0123456789abcdef",
  ENCRYPTION_KEY: "fedcba9876543210fedcba9876543210",
  ADMIN_USERNAME: TEST_ADMIN.username,
  ADMIN_PASSWORD_HASH: hashPassword(TEST_ADMIN.password),
};
