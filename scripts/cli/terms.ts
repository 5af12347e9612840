/** Said before a login of a Claude plan is handed to the relay. */
export const OAUTH_TERMS = `Before you use the login of a Claude plan with a relay:
Anthropic's legal page says that OAuth credentials of Free, Pro and Max plans are for ordinary use
of Claude Code and other native Anthropic applications by their purchaser, and that third parties
may not route requests through plan credentials on behalf of their users. API keys are the
supported credential for a shared gateway. An account added over OAuth is your own choice and your
own responsibility.`;
