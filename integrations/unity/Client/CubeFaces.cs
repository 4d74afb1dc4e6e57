using System;

namespace Aognet.Client
{
    /// <summary>Where on a panorama the texels of a cubemap lie: faces +X -X +Y -Y +Z -Z, +X is right, +Y up, +Z ahead.</summary>
    public static class CubeFaces
    {
        /// <summary>
        /// Gives the place of a texel on the panorama, with pixel centres: u in [0, 1] from its left, v from its bottom.
        /// Face: 0 to 5; x from the left and y from the top of a face of a size, seen from inside.
        /// </summary>
        public static void Place(int face, int x, int y, int size, out double u, out double v)
        {
            double s = (x + 0.5) / size * 2 - 1, t = 1 - (y + 0.5) / size * 2;
            double right, up, ahead;
            if (face == 0) { right = 1; up = t; ahead = -s; }
            else if (face == 1) { right = -1; up = t; ahead = s; }
            else if (face == 2) { right = s; up = 1; ahead = -t; }
            else if (face == 3) { right = s; up = -1; ahead = t; }
            else if (face == 4) { right = s; up = t; ahead = 1; }
            else { right = -s; up = t; ahead = -1; }
            u = 0.5 + Math.Atan2(right, ahead) / (2 * Math.PI);
            v = 0.5 + Math.Atan2(up, Math.Sqrt(right * right + ahead * ahead)) / Math.PI;
        }
    }
}
