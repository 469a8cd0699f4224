// Private to src/tokens: the symbols of the embedded blocks (tables.cpp).
#pragma once

extern "C" {
extern const unsigned char ballast_o200k_base[];       // Tables
extern const unsigned char ballast_cl100k_base[];      // Tables
extern const unsigned char ballast_unicode_classes[];  // kClassIndex block numbers, then the blocks
}
