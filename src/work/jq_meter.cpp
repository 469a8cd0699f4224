#include "work/jq_meter.hpp"

#include <dlfcn.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>
extern "C" {
#include <jq.h>   // has no linkage of its own
}
#include <time.h>

#include <algorithm>
#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

extern "C" {
void jv_mem_free(void* p);
char* jv_mem_strdup(const char* text);
}

namespace ballast::work {
namespace {

constexpr int kSlice = 2000;                       // counted calls between two looks at the clock
constexpr std::ptrdiff_t kMaxStack = 512 << 10;    // of this thread, below the start of the run
constexpr int kMaxArrayIndex = 1 << 24;            // 1.6 computes the size of a longer array with an int that overflows
constexpr int kMaxRegexes = 8;

struct Meter {
  JqHeap* heap = nullptr;
  bool armed = false;
  JqStop stop = JqStop::none;
  int fuel = kSlice;
  JqBudget* budget = nullptr;     // while armed
  char* stack = nullptr;
  void* regexes[kMaxRegexes] = {};
  void* regions[kMaxRegexes] = {};
  std::jmp_buf out;
};
thread_local Meter meter;

std::int64_t cpu_ns() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

template <class F>
F real(const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

[[noreturn]] void exhaust(JqStop why) {
  meter.stop = why;
  meter.armed = false;
  std::longjmp(meter.out, 1);
}


bool late() {
  const auto now = cpu_ns();
  if (meter.budget->deadline == 0) meter.budget->deadline = now + meter.budget->time.count();
  return now > meter.budget->deadline;
}

void look() {
  meter.fuel = kSlice;
  if (meter.armed && late()) exhaust(JqStop::time);
}

inline void count() {
  if (--meter.fuel <= 0) [[unlikely]] look();
  if (meter.armed && meter.stack - static_cast<char*>(__builtin_frame_address(0)) > kMaxStack) [[unlikely]] exhaust(JqStop::depth);
}

void admit(std::size_t size) {
  if (meter.armed && meter.heap->bytes + size > meter.budget->max_bytes) exhaust(JqStop::memory);
}

std::uintptr_t mark_of(const void* block) { return reinterpret_cast<std::uintptr_t>(block) ^ 0x9e3779b97f4a7c15u; }

__attribute__((no_sanitize("address"))) bool ours(const JqBlock* block) { return block->mark == mark_of(block); }

void link(JqBlock* block, std::size_t size) {
  block->mark = mark_of(block);
  block->heap = meter.heap;
  block->size = size;
  if (!block->heap) return;
  JqBlock& list = block->heap->list;
  block->previous = &list;
  block->next = list.next;
  list.next->previous = block;
  list.next = block;
  block->heap->bytes += size;
}

void unlink(JqBlock* block) {
  if (!block->heap) return;
  block->previous->next = block->next;
  block->next->previous = block->previous;
  block->heap->bytes -= block->size;
}

void* take(std::size_t size, bool zero) {
  const auto whole = size + sizeof(JqBlock);
  admit(whole < size ? SIZE_MAX / 2 : whole);
  auto* block = static_cast<JqBlock*>(zero ? std::calloc(1, whole) : std::malloc(whole));
  if (!block) std::abort();
  link(block, whole);
  return block + 1;
}

void note(void** slots, void* p) {
  for (int i = 0; i < kMaxRegexes; ++i)
    if (!slots[i]) return void(slots[i] = p);
}

void forget(void** slots, void* p) {
  for (int i = 0; i < kMaxRegexes; ++i)
    if (slots[i] == p) slots[i] = nullptr;
}

// One search may backtrack so often, about 20 ms of it; oniguruma's own default has no bound for a search.
void limit_regexes() {
  constexpr unsigned long kRetries = 1'000'000;
  for (const char* name : {"onig_set_retry_limit_in_match", "onig_set_retry_limit_in_search"})
    if (auto set = reinterpret_cast<int (*)(unsigned long)>(dlsym(RTLD_DEFAULT, name))) set(kRetries);
}

// qsort(3) with its memory from the heap of the run: merges runs of twice the length, there and back.
void merge_sort(void* base, std::size_t n, std::size_t size, int (*compare)(const void*, const void*)) {
  if (n < 2) return;
  auto* from = static_cast<char*>(base);
  auto* const spare = static_cast<char*>(take(n * size, false));
  auto* to = spare;
  for (std::size_t run = 1; run < n; run *= 2, std::swap(from, to)) {
    for (std::size_t left = 0; left < n; left += 2 * run) {
      const auto middle = std::min(left + run, n), end = std::min(left + 2 * run, n);
      for (std::size_t a = left, b = middle, at = left; at < end; ++at) {
        const bool first = b == end || (a < middle && compare(from + a * size, from + b * size) <= 0);
        std::memcpy(to + at * size, from + (first ? a++ : b++) * size, size);
      }
    }
  }
  if (from != base) std::memcpy(base, from, n * size);
  jv_mem_free(spare);
}

// Where the calls of `map`'s library to the function `name` jump to.
void** jump_slot(const link_map& map, std::string_view name) {
  const ElfW(Rela)* slots = nullptr;
  const ElfW(Sym)* symbols = nullptr;
  const char* names = nullptr;
  std::size_t size = 0;
  for (const auto* entry = map.l_ld; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_JMPREL) slots = reinterpret_cast<const ElfW(Rela)*>(entry->d_un.d_ptr);
    if (entry->d_tag == DT_PLTRELSZ) size = entry->d_un.d_val / sizeof(ElfW(Rela));
    if (entry->d_tag == DT_SYMTAB) symbols = reinterpret_cast<const ElfW(Sym)*>(entry->d_un.d_ptr);
    if (entry->d_tag == DT_STRTAB) names = reinterpret_cast<const char*>(entry->d_un.d_ptr);
  }
  for (std::size_t i = 0; slots && symbols && names && i < size; ++i)
    if (names + symbols[slots[i].r_info >> 32].st_name == name) return reinterpret_cast<void**>(map.l_addr + slots[i].r_offset);
  return nullptr;
}

// 1.6 goes through the machine's time zone and back, which fails in the hour that a summer time leaves out.
std::time_t utc(std::tm* t) { return timegm(t); }

// An assertion of libjq's own ends the run, not the process.
[[noreturn]] void assertion(const char*, const char*, unsigned, const char*) {
  if (meter.armed) exhaust(JqStop::broken);
  std::abort();
}

// libjq also takes memory with strdup(3), gives its own back with free(3), and sorts with qsort(3), which may not be left midway.
// These calls of its alone are led to ours.
bool redirect(const link_map& map, std::string_view name, void* ours) {
  void** slot = jump_slot(map, name);
  if (!slot) return false;
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  void* start = reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(slot) & ~(page - 1));
  if (mprotect(start, page, PROT_READ | PROT_WRITE) != 0) return false;
  *slot = ours;
  return true;
}

bool redirect_memory() {
  void* library = dlopen("libjq.so.1", RTLD_NOW | RTLD_NOLOAD);
  link_map* map = nullptr;
  if (!library || dlinfo(library, RTLD_DI_LINKMAP, &map) != 0) return false;
  return redirect(*map, "free", reinterpret_cast<void*>(jv_mem_free)) && redirect(*map, "strdup", reinterpret_cast<void*>(jv_mem_strdup)) &&
         redirect(*map, "qsort", reinterpret_cast<void*>(merge_sort)) && redirect(*map, "mktime", reinterpret_cast<void*>(utc)) &&
         redirect(*map, "__assert_fail", reinterpret_cast<void*>(assertion));
}

}  // namespace

void JqHeap::release() {
  while (list.next != &list) {
    JqBlock* block = list.next;
    unlink(block);
    block->mark = 0;
    std::free(block);
  }
}

JqOwner::JqOwner(JqHeap& heap) : before_(std::exchange(meter.heap, &heap)) {}
JqOwner::~JqOwner() { meter.heap = before_; }

JqPause::JqPause() : armed_(std::exchange(meter.armed, false)) {}
JqPause::~JqPause() { meter.armed = armed_; }

bool jq_meter_in_place() {
  static const bool in_place = [] {
    limit_regexes();
    if (!redirect_memory()) return false;
    JqHeap heap;
    const JqOwner owner(heap);
    meter.fuel = kSlice;
    const jv text = jv_array_append(jv_array(), jv_string("x"));
    const bool allocates = heap.bytes > 2 * sizeof(JqBlock);
    const int before = meter.fuel;
    jv_free(jv_array_get(text, 0));     // releases the array from inside libjq
    return allocates && heap.bytes == 0 && before - meter.fuel > 1;
  }();
  return in_place;
}

JqStop jq_metered(JqHeap& heap, JqBudget& budget, void (*body)(void*), void* argument) {
  meter.heap = &heap;
  meter.stop = JqStop::none;
  meter.fuel = budget.fuel;
  meter.budget = &budget;
  meter.stack = static_cast<char*>(__builtin_frame_address(0));
  if (setjmp(meter.out) == 0) {
    meter.armed = true;
    body(argument);
  }
  meter.armed = false;
  meter.heap = nullptr;
  budget.fuel = meter.fuel;
  if (meter.stop == JqStop::none) return JqStop::none;
  static const auto free_regex = real<void (*)(void*)>("onig_free");
  static const auto free_region = real<void (*)(void*, int)>("onig_region_free");
  for (auto& p : meter.regexes)
    if (p) free_regex(std::exchange(p, nullptr));
  for (auto& p : meter.regions)
    if (p) free_region(std::exchange(p, nullptr), 1);
  heap.release();
  return meter.stop;
}

}  // namespace ballast::work

using namespace ballast::work;

// What libjq calls instead of its own.
extern "C" {

void* jv_mem_alloc(std::size_t size) { return take(size, false); }
void* jv_mem_alloc_unguarded(std::size_t size) { return take(size, false); }
void* jv_mem_calloc(std::size_t size, std::size_t n) { return take(n && size > SIZE_MAX / n ? SIZE_MAX : size * n, true); }
void* jv_mem_calloc_unguarded(std::size_t size, std::size_t n) { return jv_mem_calloc(size, n); }
char* jv_mem_strdup(const char* text) {
  const auto size = std::strlen(text) + 1;
  return static_cast<char*>(std::memcpy(take(size, false), text, size));
}
char* jv_mem_strdup_unguarded(const char* text) { return jv_mem_strdup(text); }
void jv_mem_free(void* p) {
  if (!p) return;
  auto* block = static_cast<JqBlock*>(p) - 1;
  if (!ours(block)) return std::free(p);
  unlink(block);
  block->mark = 0;
  std::free(block);
}
void* jv_mem_realloc(void* p, std::size_t size) {
  if (!p) return take(size, false);
  auto* old = static_cast<JqBlock*>(p) - 1;
  const auto kept = old->size - sizeof(JqBlock);
  void* moved = take(size, false);
  std::memcpy(moved, p, kept < size ? kept : size);
  jv_mem_free(p);
  return moved;
}

jv jv_copy(jv value) {
  static const auto copy = real<jv (*)(jv)>("jv_copy");
  count();
  return copy(value);
}
void jv_free(jv value) {
  static const auto release = real<void (*)(jv)>("jv_free");
  count();
  release(value);
}

jv jv_array_set(jv array, int index, jv value) {
  static const auto set = real<jv (*)(jv, int, jv)>("jv_array_set");
  if (meter.armed && index > kMaxArrayIndex) exhaust(JqStop::memory);
  return set(array, index, value);
}

// No file is ever read: 1.6 would take definitions from ~/.jq.
jv jv_load_file(const char*, int) { return jv_invalid_with_msg(jv_string("no files here")); }

int onig_new(void** regex, const unsigned char* pattern, const unsigned char* end, unsigned options, void* encoding, void* syntax,
             void* error) {
  static const auto make = real<int (*)(void**, const unsigned char*, const unsigned char*, unsigned, void*, void*, void*)>("onig_new");
  const int result = make(regex, pattern, end, options, encoding, syntax, error);
  if (result == 0 && meter.armed) note(meter.regexes, *regex);
  return result;
}
void onig_free(void* regex) {
  static const auto release = real<void (*)(void*)>("onig_free");
  forget(meter.regexes, regex);
  release(regex);
}
void* onig_region_new() {
  static const auto make = real<void* (*)()>("onig_region_new");
  void* region = make();
  if (meter.armed) note(meter.regions, region);
  return region;
}
void onig_region_free(void* region, int self) {
  static const auto release = real<void (*)(void*, int)>("onig_region_free");
  forget(meter.regions, region);
  release(region, self);
}
int onig_search(void* regex, const unsigned char* text, const unsigned char* end, const unsigned char* start,
                const unsigned char* range, void* region, unsigned options) {
  using Search = int (*)(void*, const unsigned char*, const unsigned char*, const unsigned char*, const unsigned char*, void*, unsigned);
  static const auto search = real<Search>("onig_search");
  if (meter.armed && late()) exhaust(JqStop::time);
  return search(regex, text, end, start, range, region, options);
}

}  // extern "C"
