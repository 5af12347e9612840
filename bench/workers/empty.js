/** What any Worker costs to start. */
export default {
  fetch() {
    return new Response(null);
  },
};
