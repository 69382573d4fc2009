/*
 * Named points at which a test lets the process die, for builds with -DFAILPOINTS=ON only: others hold nothing of them.
 * The environment says where: FAILPOINT=committed:3 kills the process (SIGKILL) when it comes to the point `committed`
 * for the third time. tests/history knows them all by reading the sources.
 */
#pragma once

#ifdef FAILPOINTS
void failpoint_reach(const char *name);
#define FAILPOINT(name) failpoint_reach(name)
#else
#define FAILPOINT(name) ((void)0)
#endif
