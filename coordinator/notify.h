/* Tells systemd how far we are (sd_notify(3), without its library). Without NOTIFY_SOCKET nothing happens. */
#pragma once

void notify_ready(void);
void notify_stopping(void);
