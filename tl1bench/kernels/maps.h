/* Images, channels, height, width, and the steps from one to the next in memory. */
struct maps { long size[4], step[4]; };
