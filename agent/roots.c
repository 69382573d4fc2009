#include "agent/roots.h"

#include <stddef.h>

#ifdef TRUSTED_ROOTS
/* The assembler takes the file as it is: as a string literal it would be longer than compilers must accept. */
__asm__(".pushsection .rodata.trusted_roots, \"a\"\n"
        ".global trusted_roots\n"
        ".hidden trusted_roots\n"
        "trusted_roots:\n"
        ".incbin \"" TRUSTED_ROOTS "\"\n"
        ".byte 0\n"
        ".popsection\n");
extern const char trusted_roots[];

const char *roots_built_in(void) {
    return trusted_roots;
}
#else
const char *roots_built_in(void) {
    return NULL;
}
#endif
