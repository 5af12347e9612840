/** How the credentials of the benchmark's accounts begin: nobody's, and known to the fake upstream. */
export const ACCOUNT_TOKEN_PREFIX = "sk-ant-oat01-bench-";
