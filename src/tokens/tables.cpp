// The blocks that the build made (pack/main.cpp), as they are.
#include "tokens/blocks.hpp"

#define BALLAST_EMBED(name, file)                                                                                                   \
  __asm__(".section .rodata." #name ",\"a\"\n.balign 64\n.global " #name "\n" #name ":\n.incbin \"" file "\"\n.previous\n")

BALLAST_EMBED(ballast_o200k_base, BALLAST_O200K);
BALLAST_EMBED(ballast_cl100k_base, BALLAST_CL100K);
BALLAST_EMBED(ballast_unicode_classes, BALLAST_CLASSES);
