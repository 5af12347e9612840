/**
 * The floor: the least that a relay on this runtime can do. It puts another credential in the place
 * of the client's, and passes request and answer on; nothing is checked, chosen, counted or kept.
 */
export default {
  fetch(request, env) {
    const { pathname, search } = new URL(request.url);
    const headers = new Headers(request.headers);
    headers.set("authorization", `Bearer ${env.CREDENTIAL}`);
    return fetch(env.ANTHROPIC_API_URL + pathname + search, {
      method: request.method,
      headers,
      body: request.body,
    });
  },
};
