declare module "cloudflare:workers" {
  // What tests inside workerd find as `env`: the Worker's own bindings.
  interface ProvidedEnv extends Env {}
}
