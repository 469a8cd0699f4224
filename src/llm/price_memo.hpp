// What one thread has looked up in the price book, kept: a price is asked for at every target of every call, and is a kilobyte.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/hash.hpp"
#include "llm/prices.hpp"

namespace ballast::llm {

using ModelInfoPtr = std::shared_ptr<const ModelInfo>;

// Not thread-safe: one for each event loop.
class PriceMemo {
 public:
  static constexpr std::size_t kMost = 1024;       // models remembered: callers may name any. Then it begins anew

  // As book->find(…); null where that finds nothing. What is returned outlives the memo. `book` is kept until another one is asked.
  ModelInfoPtr find(const std::shared_ptr<const PriceBook>& book, std::string_view provider, std::string_view kind, std::string_view model,
                    WallTime when);
  std::size_t size() const { return known_.size(); }

 private:
  std::shared_ptr<const PriceBook> book_;
  PriceBook::Span valid_;                          // no announced change lies in it
  std::unordered_map<std::string, ModelInfoPtr, StringHash, std::equal_to<>> known_;   // "kind/provider/model"
};

}  // namespace ballast::llm
