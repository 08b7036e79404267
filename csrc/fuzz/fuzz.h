/* fuzz: what the targets share: bytes consumed one after another, and the end of a run that broke a rule. */
#ifndef FC_FUZZ_H
#define FC_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* Abort with the rule that does not hold; libFuzzer keeps the input. */
#define FUZZ_CHECK(rule)                                                                                               \
  do {                                                                                                                 \
    if (!(rule)) {                                                                                                     \
      fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #rule);                                        \
      abort();                                                                                                         \
    }                                                                                                                  \
  } while (0)

#endif
