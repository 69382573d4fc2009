/*
 * An SQLite VFS over the default one whose files keep what was not synced in this process alone. So when the process is
 * killed, everything unsynced is lost, as by a power loss: what kill -9 by itself never shows, since the kernel keeps it.
 */
#pragma once

/* Registers the VFS "volatile"; its syncs cost no disk time. 0 | -1. */
int volatile_disk_register(void);
