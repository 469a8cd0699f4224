#include "work/acknowledged.hpp"

#include <algorithm>

namespace ballast::work {

void Acknowledged::begin(std::int64_t number, WallTime at, MonoTime now) {
  while (!cycles_.empty() && (now - cycles_.front().noted > kRemembered || cycles_.size() >= kMostCycles)) forget_first();
  cycles_.push_back({.number = number, .at = at, .noted = now, .names = names_gone_ + names_.size(), .effects = effects_gone_ + effects_.size()});
  last_ = number;
}

// One that alone names more than there is room for loses its own first names: they are counted no more.
void Acknowledged::note(What what, JobId job) {
  while (names_.size() >= kMostNames && cycles_.size() > 1) forget_first();
  if (names_.size() >= kMostNames) names_.pop_front(), ++names_gone_;
  names_.push_back({job, what});
}

void Acknowledged::note_effect(JobId run, std::string stage) {
  if (effects_.size() >= kMostEffects) effects_.pop_front(), ++effects_gone_;
  effects_.emplace_back(run, std::move(stage));
}

void Acknowledged::forget_first() {
  forgotten_ = cycles_.front().number;
  cycles_.pop_front();
  const std::uint64_t names = cycles_.empty() ? names_gone_ + names_.size() : cycles_.front().names;
  for (; names_gone_ < names; ++names_gone_) names_.pop_front();
  const std::uint64_t effects = cycles_.empty() ? effects_gone_ + effects_.size() : cycles_.front().effects;
  for (; effects_gone_ < effects; ++effects_gone_) effects_.pop_front();
}

LostCommits Acknowledged::since(std::int64_t kept) const {
  LostCommits lost;
  lost.kept = kept;
  lost.last = last_;
  lost.all_known = forgotten_ <= kept;
  const auto first = std::ranges::upper_bound(cycles_, kept, {}, &Cycle::number);
  if (first == cycles_.end()) return lost;
  lost.cycles = static_cast<std::uint64_t>(cycles_.end() - first);
  lost.since = first->at;
  for (std::uint64_t i = std::max(first->names, names_gone_) - names_gone_; i < names_.size(); ++i) {
    const Name& name = names_[i];
    LostCommits::Jobs& jobs = name.what == What::submitted ? lost.submitted : name.what == What::ended ? lost.ended : lost.went_on;
    if (++jobs.count <= kMostLostNamed) jobs.named.push_back(name.job);
  }
  for (std::uint64_t i = std::max(first->effects, effects_gone_) - effects_gone_; i < effects_.size(); ++i)
    if (++lost.effects <= kMostLostNamed) lost.named_effects.push_back(effects_[i]);
  return lost;
}

}  // namespace ballast::work
