#!/bin/sh
# Starts workerd so that Ctrl-C and a closing terminal, which reach every process of the terminal
# at once, do not end it before the relay has let its streams finish.
trap '' INT HUP
exec "$RELAY_WORKERD" "$@"
